"""Models on Baum-Welch statistics: supervectors, i-vectors, session and speaker factors, and back ends on vectors."""
