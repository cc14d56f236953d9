"""Formats in which others keep old conversations; each is a module that turns a file into `OldConversation`s."""
