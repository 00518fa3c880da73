"""An experiment described by one YAML file, and how it runs."""
