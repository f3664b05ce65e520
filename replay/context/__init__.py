"""What fills the context of the calls: input dollars by source, by item, and what carrying them again costs."""
