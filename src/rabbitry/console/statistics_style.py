"""How the statistics page looks, light and dark, and its one script.

Owns the style sheet and the script that checks all servers of a table. The classes of rows are
HAProxy's (`active_up`, `backup_going_down`, `maintain`, ...), so are the colours' meanings.

Invariants: nothing is loaded from elsewhere; the script is named by its hash in the page's
content security policy, no other one runs.
"""

from __future__ import annotations

import base64
import hashlib

STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #999; --head: #20d0d0;
  --name: #b00040; --name-ink: #ffff40; --end: #e8e8d0; --socket: #d0d0d0; --title: #6020a0;
  --up: #c0ffc0; --down: #ff9090; --going-up: #ffd020; --going-down: #ffffa0; --drain: #20a0ff;
  --b-up: #b0d0ff; --b-going-up: #ff80ff; --b-going-down: #c060ff; --b-nolb: #90b0e0;
  --b-drain: #cc9900; --unchecked: #e0e0e0; --maintain: #c07820; --tips: #f0f060; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e3; --paper: #131516; --line: #808080;
  --head: #17706b; --name: #8d0033; --name-ink: #ffff46; --end: #2f3437; --socket: #2a2d2f;
  --title: #a265e0; --up: #165900; --down: #760000; --going-up: #8a6d00; --going-down: #6c6c00;
  --drain: #006ab9; --b-up: #2e3234; --b-going-up: #7f007f; --b-going-down: #580092;
  --b-nolb: #1e3c6a; --b-drain: #8a6700; --unchecked: #2a2d2f; --maintain: #9a601a;
  --tips: #5e5e0a; } }
body { font: 12px/1.4 arial, helvetica, sans-serif; color: var(--ink); background: var(--paper);
  margin: 1em; }
h1, h2 { color: var(--title); margin: 0 0 .2em; font-size: 1.7em; }
h1 a { color: inherit; text-decoration: none; }
h2 { font-size: 1.4em; font-style: italic; }
h3 { color: var(--name); background: var(--end); margin: .4em 0 0; font-size: 1.2em; }
@media (prefers-color-scheme: dark) { h3 { color: #ff5190; } a { color: #3391ff; } }
.top { display: flex; flex-wrap: wrap; gap: 0 3em; margin-bottom: 1.5em; }
.top ul { margin: .25em 0; padding-left: 1.5em; }
.lgd { border-collapse: collapse; }
.lgd td { border: 1px solid var(--line); padding: 1px 4px; }
.lgd td.noborder { border: 0; white-space: nowrap; }
.said { padding: 4px 8px; margin: 0 0 1em; }
.pxname { display: inline-block; margin: 0; padding: 2px 10px; font-size: 1em;
  background: var(--name); }
.pxname a.px { color: var(--name-ink); text-decoration: none; }
.desc { margin-left: .6em; }
.tbl { border-collapse: collapse; width: 100%; font-size: 10px; line-height: normal;
  margin-bottom: 1.2em;  font-variant-numeric: tabular-nums; }
.tbl th, .tbl td { border: 1px solid var(--line); padding: 2px 3px; white-space: nowrap;
  text-align: right; }
.tbl .titre th { background: var(--head); text-align: center; }
.tbl td.ac { text-align: center; }
.rls { letter-spacing: .2em; margin-right: 1px; }
a.lfsb { color: inherit; text-decoration: none; }
u { text-decoration: none; border-bottom: 1px dotted var(--ink); }
div.tips { visibility: hidden; position: absolute; z-index: 1; padding: 2px 4px 3px;
  white-space: nowrap; line-height: normal;
  background: var(--tips); color: var(--ink); border: 1px solid #7040c0; border-radius: 3px;
  box-shadow: gray 2px 2px 3px; font-size: 11px; text-align: left; }
u:hover div.tips, u:focus-within div.tips { visibility: visible; }
.tbl .det { border-collapse: collapse; font-size: 11px; }
.tbl .det th { border: 0; padding: 0 1px 0 0; text-align: left; }
.tbl .det td { border: 0; padding: 0 0 0 4px; }
.frontend, .backend { background: var(--end); }
.socket { background: var(--socket); }
.active_up { background: var(--up); }
.active_down, .backup_down { background: var(--down); }
.active_going_up { background: var(--going-up); }
.active_going_down { background: var(--going-down); }
.active_nolb, .active_draining { background: var(--drain); }
.active_no_check, .backup_no_check { background: var(--unchecked); }
.backup_up { background: var(--b-up); }
.backup_going_up { background: var(--b-going-up); }
.backup_going_down { background: var(--b-going-down); }
.backup_nolb { background: var(--b-nolb); }
.backup_draining { background: var(--b-drain); }
.maintain { background: var(--maintain); }
b.down { color: #d00000; }
"""

SCRIPT = (
    'document.addEventListener("change",function(e){if(e.target.dataset.all===undefined)return;'
    "e.target.form.querySelectorAll('input[name=s]').forEach("
    "function(s){s.checked=e.target.checked})})"
)
"""The box above a table checks all of its servers."""

_HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()

POLICY = (
    f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_HASH}'; img-src data:; "
    "form-action 'self'; base-uri 'none'"
)
"""What the page may do, as `content-security-policy`."""

ADMIN_POLICY = f"{POLICY}; frame-ancestors 'self'"
"""The same for a page that can act: shown within another site's, it could be clicked unawares."""
