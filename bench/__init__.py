"""Side-by-side benchmarks, run as ``python -m bench``; nothing in the product imports them.

`load` sends requests at intended times, `rows` says how each tool is started and spoken to, `apps` holds the code that
runs inside the tools, and `serving` sequences the turns. `suites` measure what is promised, some on a whole
`tandem_stack`. `report` writes what came out.
"""
