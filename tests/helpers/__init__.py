"""What the tests of several rooms share: paths, small models and recipes, readers of what a command leaves behind."""
