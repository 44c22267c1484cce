"""The provider's Python example, carried on to the finished picture: client.py OUTPUT"""

import os
import sys
import time

# --- as on the provider's page ---
import requests

url = "https://gateway.pixazo.ai/gfpgan/v1/gfpgan/generate"
headers = {
    "Content-Type": "application/json",
    "Cache-Control": "no-cache",
    "Ocp-Apim-Subscription-Key": "YOUR_API_KEY"
}
data = {
    "img": "https://pub-582b7213209642b9b995c96c95a30381.r2.dev/input_model.png"
}

response = requests.post(url, json=data, headers=headers)
print(response.json())
# --- end ---

if response.status_code != 202:
    sys.exit(f"not accepted: HTTP {response.status_code}")
polling_url = response.json()["polling_url"]
key = {"Ocp-Apim-Subscription-Key": headers["Ocp-Apim-Subscription-Key"]}
while True:
    status = requests.get(polling_url, headers=key)
    status.raise_for_status()
    status = status.json()
    if status["status"] not in ("QUEUED", "PROCESSING"):
        break
    time.sleep(float(os.environ.get("POLL_SECONDS", "5")))
print(status)
if status["status"] != "COMPLETED":
    sys.exit(f"not restored: {status['error']}")
# The picture is somewhere else, and the key stays here.
picture = requests.get(status["output"]["media_url"][0])
picture.raise_for_status()
assert picture.headers["Content-Type"] == status["output"]["media_type"]
with open(sys.argv[1], "wb") as file:
    file.write(picture.content)
