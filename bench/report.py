"""placeholder"""
import json
def write(result, page): return json.dumps([{k:r[k] for k in ("name","status","median","versions")} for r in result["rows"]],indent=0)
