"""What is looked over when something is wrong: facts, gathered at the edge, and rules from facts to findings."""
