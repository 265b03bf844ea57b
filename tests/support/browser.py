"""Chromium for tests, and the accessibility checker that looks at its pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support import outside

__all__ = ["chromium", "serious_faults"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium: ``PASSERELLE_CHROMIUM``, or the one of the PATH; absent, the test is skipped or fails."""
    path = os.environ.get("PASSERELLE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        outside.missing("chromium", "install the Debian package chromium, or set PASSERELLE_CHROMIUM to its path")
    with sync_playwright() as driver:
        # Containers have no user namespaces for its own sandbox; it only visits loopback.
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()


def serious_faults(page: Page) -> list[str]:
    """What axe-core finds serious or critical on a page (WCAG 2.2 A and AA, and best practice)."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{page.url}: {one['id']}: {node['html'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
