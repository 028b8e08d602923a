"""One annotation session: embed, prompt, candidate, accept, undo; without a viewer or with one."""
