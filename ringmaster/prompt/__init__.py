"""What an agent is told: from facts to one text within a budget, and where the facts in the tree come from."""
