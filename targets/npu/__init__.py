"""The NNC-1 accelerator: what it is (config), what it takes (constraints), how long it needs (clock), and its command streams. See docs/npu.md."""
