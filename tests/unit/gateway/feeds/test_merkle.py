"""The tree of RFC 6962 against its published vectors, and proofs against their checkers."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.feeds import merkle

# Leaves and roots of the Certificate Transparency reference vectors (google/certificate-transparency,
# merkle_tree_test): the inputs below, and the root after each one is added.
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
#: Inclusion paths of the same vectors: leaf number from 1, size, path.
PATHS = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (3, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        2,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
#: Consistency proofs of the same vectors: old size, new size, proof.
CONSISTENCIES = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
LEAVES = [merkle.leaf_hash(data) for data in INPUTS]


def leaves_of(size: int) -> list[bytes]:
    return [merkle.leaf_hash(b"%d" % number) for number in range(size)]


def mth(data: list[bytes]) -> bytes:
    """The definition of RFC 6962, 2.1, word for word: an independent reading to compare with."""
    if not data:
        return sha256(b"").digest()
    if len(data) == 1:
        return sha256(b"\x00" + data[0]).digest()
    k = 1
    while k * 2 < len(data):
        k *= 2
    return sha256(b"\x01" + mth(data[:k]) + mth(data[k:])).digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_published_vectors(size: int) -> None:
    """After each leaf, the incremental root and the whole root are the published one."""
    frontier = merkle.Frontier()
    frontier.append(LEAVES[:size])
    assert frontier.root().hex() == ROOTS[size - 1]
    assert merkle.root(size, merkle.from_leaves(LEAVES)).hex() == ROOTS[size - 1]


def test_the_empty_tree_has_the_root_of_the_rfc() -> None:
    """No leaf: the hash of nothing."""
    assert merkle.Frontier().root() == sha256(b"").digest() == merkle.root(0, merkle.from_leaves([]))


@pytest.mark.parametrize(("number", "size", "path"), PATHS)
def test_inclusion_paths_are_those_of_the_published_vectors(number: int, size: int, path: list[str]) -> None:
    """Each published audit path is made, and accepted."""
    made = merkle.inclusion_proof(number - 1, size, merkle.from_leaves(LEAVES))
    assert [node.hex() for node in made] == path
    root = bytes.fromhex(ROOTS[size - 1])
    assert merkle.verify_inclusion(LEAVES[number - 1], number - 1, size, made, root)


@pytest.mark.parametrize(("old", "new", "proof"), CONSISTENCIES)
def test_consistency_proofs_are_those_of_the_published_vectors(old: int, new: int, proof: list[str]) -> None:
    """Each published consistency proof is made, and accepted."""
    made = merkle.consistency_proof(old, new, merkle.from_leaves(LEAVES))
    assert [node.hex() for node in made] == proof
    assert merkle.verify_consistency(old, new, bytes.fromhex(ROOTS[old - 1]), bytes.fromhex(ROOTS[new - 1]), made)


@given(st.integers(1, 300))
def test_the_incremental_root_is_the_definition(size: int) -> None:
    """Adding leaves one by one gives the hash that the recursive definition gives."""
    frontier = merkle.Frontier()
    frontier.append(leaves_of(size))
    assert frontier.root() == mth([b"%d" % number for number in range(size)])
    assert merkle.Frontier.from_bytes(size, frontier.to_bytes()) == frontier


@given(st.data())
def test_a_proof_holds_for_its_leaf_and_no_other(data: st.DataObject) -> None:
    """A path proves its own leaf at its own place; another leaf, place or root is refused."""
    size = data.draw(st.integers(2, 200))
    index = data.draw(st.integers(0, size - 1))
    leaves = leaves_of(size)
    complete = merkle.from_leaves(leaves)
    root, path = merkle.root(size, complete), merkle.inclusion_proof(index, size, complete)
    assert merkle.verify_inclusion(leaves[index], index, size, path, root)
    other = (index + 1) % size
    assert not merkle.verify_inclusion(leaves[other], index, size, path, root)
    assert not merkle.verify_inclusion(leaves[index], other, size, path, root)
    assert not merkle.verify_inclusion(leaves[index], index, size, path[:-1], root)
    assert not merkle.verify_inclusion(leaves[index], index, size, [*path, root], root)


@given(st.data())
def test_a_consistency_proof_refuses_a_rewritten_past(data: st.DataObject) -> None:
    """A tree that changed one old leaf cannot be shown consistent with the old root."""
    new = data.draw(st.integers(2, 150))
    old = data.draw(st.integers(1, new - 1))
    leaves = leaves_of(new)
    old_root = merkle.root(old, merkle.from_leaves(leaves))
    complete = merkle.from_leaves(leaves)
    proof = merkle.consistency_proof(old, new, complete)
    assert merkle.verify_consistency(old, new, old_root, merkle.root(new, complete), proof)
    leaves[data.draw(st.integers(0, old - 1))] = merkle.leaf_hash(b"rewritten")
    forged = merkle.from_leaves(leaves)
    proof = merkle.consistency_proof(old, new, forged)
    assert not merkle.verify_consistency(old, new, old_root, merkle.root(new, forged), proof)


@given(st.integers(0, 700))
def test_stored_nodes_are_the_perfect_subtrees(size: int) -> None:
    """What an append says to store is the hash of the 256 (or 65,536) leaves under it."""
    leaves = leaves_of(size)
    done = merkle.Frontier().append(leaves)
    assert [(level, at) for level, at, _ in done] == [(8, at) for at in range(size // 256)]
    for level, at, node in done:
        assert node == merkle.from_leaves(leaves)(level, at)


def test_impossible_proofs_are_refused() -> None:
    """A leaf outside the tree, or a shrinking tree, is an error and not a wrong proof."""
    complete = merkle.from_leaves(LEAVES)
    with pytest.raises(ValueError, match="not in a tree"):
        merkle.inclusion_proof(8, 8, complete)
    with pytest.raises(ValueError, match="no consistency"):
        merkle.consistency_proof(9, 8, complete)
    with pytest.raises(ValueError, match="peaks"):
        merkle.Frontier.from_bytes(3, bytes(32))
    assert not merkle.verify_inclusion(LEAVES[0], 8, 8, [], bytes(32))
    assert not merkle.verify_consistency(0, 8, bytes(32), bytes(32), [])
    assert not merkle.verify_consistency(3, 8, bytes(32), bytes(32), [])


@given(st.integers(0, 700), st.lists(st.integers(0, 600), max_size=4))
def test_leaves_added_at_once_make_the_same_tree(before: int, batches: list[int]) -> None:
    """Level by level as one by one: the same peaks, the same root, the same subtrees to store."""
    one, many = merkle.Frontier(), merkle.Frontier()
    one.append(leaves_of(before))
    many.extend(list(leaves_of(before)))
    for size in batches:
        more = list(leaves_of(size))
        assert sorted(many.extend(more)) == sorted(one.append(more))
        assert (many.size, many.peaks, many.root()) == (one.size, one.peaks, one.root())
