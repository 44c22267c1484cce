//! Bugs planted on purpose: the harness must see each, and name what it breaks.
