"""The pages: templates, style and scripts as they are written into them, and the data that the scripts show."""
