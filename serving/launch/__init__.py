"""Starting SGLang: command line, environment, and the shims that its CPU path needs."""
