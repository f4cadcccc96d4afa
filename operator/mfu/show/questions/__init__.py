"""The five questions that people ask of a fleet, answered in a sentence with numbers and what they rest on."""
