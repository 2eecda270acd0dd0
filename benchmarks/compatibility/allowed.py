"""Findings of mutate.py in which tinymood's answer is right, each with the reason."""

import re

# (file, outcome, regular expression that the mutation matches, reason)
ALLOWED = []


def reason(case):
    """Why a finding is none, or None."""
    for file, outcome, mutation, why in ALLOWED:
        if (case["file"], case["outcome"]) == (file, outcome) and re.search(mutation, case["mutation"]):
            return why
    return None
