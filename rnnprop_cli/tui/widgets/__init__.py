"""Widgets of the screens. Those that draw line by line give every segment both its colours: see `Painter`."""
