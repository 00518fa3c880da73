"""Outputs of stages on disk, each under the digest of what it depends on."""
