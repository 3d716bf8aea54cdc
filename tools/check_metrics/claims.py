def specialist_rows(*a): return []
def claim_rows(*a): return {}
