"""Where Lakemark keeps things, and the settings that a person chose."""
