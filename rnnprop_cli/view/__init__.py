"""Records in, what a reader looks at out. Pure: no database, no terminal, no torch.

- `curves`   one value a step: smoothed, joined over seeds, how soon it comes down
- `table`    runs grouped, compared, judged: the rows, and what may be said of them
- `facts`    what an experiment says about itself: its log, its weights, its checkpoints
- `figures`  pictures as plain values, and drawn as SVG or with matplotlib
- `formats`  all of this as files: JSON, CSV, Markdown, HTML
- `numbers`, `safe_text`, `shorten`  how a number and a text are written, wherever they are shown

Each room imports only from those above it. Whatever two commands or screens show alike is worked out here, once; what
only one of them needs (widths, keys, colours of a terminal) belongs to `cli` or `tui`.
"""
