"""The screen of sgdb: shows what the engine remembers, and knows no tensor."""
