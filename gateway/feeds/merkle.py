"""The Merkle tree of RFC 6962: roots, inclusion and consistency proofs, pure.

A tree is read through one function ``complete(level, index)`` that gives the hash of the perfect subtree of
``2**level`` leaves starting at leaf ``index * 2**level``; where those hashes are kept is the reader's business.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import repeat

__all__ = [
    "EMPTY_ROOT",
    "Frontier",
    "consistency_proof",
    "from_leaves",
    "inclusion_proof",
    "leaf_hash",
    "multiproof",
    "node_hash",
    "root",
    "verify_consistency",
    "verify_inclusion",
]

#: RFC 6962, 2.1: the hash of an empty list is the hash of an empty string.
EMPTY_ROOT = sha256(b"").digest()

Complete = Callable[[int, int], bytes]


def leaf_hash(data: bytes) -> bytes:
    """Hash one leaf: ``SHA-256(0x00 || data)`` (RFC 6962, 2.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into their parent: ``SHA-256(0x01 || left || right)`` (RFC 6962, 2.1)."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(slots=True)
class Frontier:
    """The right edge of a growing tree: the perfect subtrees that make it up, largest first.

    It is all a sealer needs to go on: ``append`` costs about one extra hash a leaf and never reads an older one.
    """

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    def append(self, leaves: Iterable[bytes], *, every: int = 8) -> list[tuple[int, int, bytes]]:
        """Add leaf hashes; give the perfect subtrees completed at levels that are multiples of ``every``."""
        peaks, size = self.peaks, self.size
        done: list[tuple[int, int, bytes]] = []
        for leaf in leaves:
            node, rest, level = leaf, size, 0
            while rest & 1:
                node = sha256(b"\x01%b%b" % (peaks.pop(), node)).digest()
                rest >>= 1
                level += 1
                if level % every == 0:
                    done.append((level, rest, node))
            peaks.append(node)
            size += 1
        self.size = size
        return done

    def extend(self, leaves: Sequence[bytes], *, every: int = 8) -> list[tuple[int, int, bytes]]:
        """As :meth:`append` for many leaves at once, level by level: the same tree, completed subtrees by level."""
        done: list[tuple[int, int, bytes]] = []
        peaks = self.peaks.copy()
        after: list[bytes] = []  # the new peaks, smallest first
        nodes, rest, level = list(leaves), self.size, 0
        while nodes:
            if rest & 1:
                nodes.insert(0, peaks.pop())
            if len(nodes) & 1:
                after.append(nodes.pop())
            one = iter(nodes)
            nodes = [sha256(pair).digest() for pair in map(b"".join, zip(repeat(b"\x01"), one, one, strict=False))]
            rest >>= 1
            level += 1
            if level % every == 0:
                done += [(level, at, node) for at, node in enumerate(nodes, rest)]
        self.peaks = peaks + after[::-1]
        self.size += len(leaves)
        return done

    def root(self) -> bytes:
        """Hash the whole tree as it is now."""
        if not self.peaks:
            return EMPTY_ROOT
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = node_hash(peak, node)
        return node

    def to_bytes(self) -> bytes:
        """Write the peaks one after the other, 32 bytes each."""
        return b"".join(self.peaks)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """Read peaks back; raises ``ValueError`` when their number does not fit the size."""
        if len(data) != 32 * size.bit_count():
            raise ValueError(f"{len(data)} bytes of peaks for a tree of {size} leaves")
        return cls(size, [data[i : i + 32] for i in range(0, len(data), 32)])


def _split(size: int) -> int:
    """The largest power of two smaller than ``size`` (RFC 6962, 2.1: ``k``)."""
    return 1 << ((size - 1).bit_length() - 1)


def _subtree(start: int, size: int, complete: Complete) -> bytes:
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return complete(level, start >> level)
    k = _split(size)
    return node_hash(_subtree(start, k, complete), _subtree(start + k, size - k, complete))


def root(size: int, complete: Complete) -> bytes:
    """Hash the first ``size`` leaves of a tree."""
    return _subtree(0, size, complete) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, complete: Complete) -> list[bytes]:
    """Give the audit path of leaf ``index`` in the tree of ``size`` leaves (RFC 6962, 2.1.1).

    Raises ``ValueError`` when the leaf is not in the tree.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size} leaves")
    path: list[bytes] = []
    start = 0
    while size > 1:
        k = _split(size)
        if index < k:
            path.append(_subtree(start + k, size - k, complete))
            size = k
        else:
            path.append(_subtree(start, k, complete))
            start, index, size = start + k, index - k, size - k
    path.reverse()
    return path


def consistency_proof(old: int, new: int, complete: Complete) -> list[bytes]:
    """Show that the tree of ``new`` leaves begins with the tree of ``old`` leaves (RFC 6962, 2.1.2).

    Raises ``ValueError`` when ``old`` is 0 or greater than ``new``.
    """
    if not 0 < old <= new:
        raise ValueError(f"no consistency proof from {old} to {new} leaves")
    path: list[bytes] = []
    start, known, size, whole = 0, old, new, True
    while known != size:
        k = _split(size)
        if known <= k:
            path.append(_subtree(start + k, size - k, complete))
            size = k
        else:
            path.append(_subtree(start, k, complete))
            start, known, size, whole = start + k, known - k, size - k, False
    if not whole:
        path.append(_subtree(start, size, complete))
    path.reverse()
    return path


def multiproof(indices: Sequence[int], size: int, complete: Complete) -> list[bytes]:
    """Give, from left to right, the largest subtrees that hold none of these leaves (sorted, each once).

    With the leaves themselves they give the root: one proof for a whole list, empty when every leaf is listed.
    """
    proof: list[bytes] = []

    def walk(start: int, width: int, first: int, last: int) -> None:
        if first == last:
            proof.append(_subtree(start, width, complete))
        elif last - first < width:
            k = _split(width)
            middle = bisect_left(indices, start + k, first, last)
            walk(start, k, first, middle)
            walk(start + k, width - k, middle, last)

    if size:
        walk(0, size, 0, len(indices))
    return proof


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> bool:
    """Tell whether the path leads from this leaf hash to this root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    fn, sn, node = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            node = node_hash(sibling, node)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = node_hash(node, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and node == expected_root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether the proof shows that the newer tree only adds leaves to the older (RFC 9162, 2.1.4.2)."""
    if old == new:
        return not proof and old_root == new_root
    if not 0 < old < new:
        return False
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for node in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            first, second = node_hash(node, first), node_hash(node, second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, node)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and first == old_root and second == new_root


def from_leaves(leaves: Sequence[bytes]) -> Complete:
    """Read perfect subtrees of a list of leaf hashes, computed as asked for."""

    def complete(level: int, index: int) -> bytes:
        if level == 0:
            return leaves[index]
        return node_hash(complete(level - 1, 2 * index), complete(level - 1, 2 * index + 1))

    return complete
