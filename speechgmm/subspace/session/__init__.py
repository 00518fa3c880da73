"""Inter-session variability and joint factor analysis: training, enrolment and scoring."""
