"""The boards' numbers in the formats of others: a tidy CSV file, a LaTeX table, a Hugging Face model index."""
