"""Projects, users, access keys, tokens, policies: who is it, and may they?"""
