"""Commands about what is declared: users, virtual hosts, policies, limits, definitions.

Each module is one group of `rabbitry GROUP COMMAND`; `cli` puts them together.
"""
