#!/bin/bash
# The provider's curl example, carried on to the finished picture: client.sh OUTPUT
set -euo pipefail

submit() {
# --- as on the provider's page ---
curl -X POST "https://gateway.pixazo.ai/gfpgan/v1/gfpgan/generate" \
  -H "Content-Type: application/json" \
  -H "Cache-Control: no-cache" \
  -H "Ocp-Apim-Subscription-Key: YOUR_API_KEY" \
  --data-raw '{
    "img": "https://pub-582b7213209642b9b995c96c95a30381.r2.dev/input_model.png"
}'
# --- end ---
}

# The first string of this name; no more JSON than that is needed here.
field() { sed -n "s/.*\"$1\":\[\{0,1\}\"\([^\"]*\)\".*/\1/p" <<<"$2"; }

accepted=$(submit)
printf '%s\n' "$accepted"
polling_url=$(field polling_url "$accepted")
[[ -n $polling_url ]] || exit 1
while :; do
  status=$(curl -sS --fail -H "Ocp-Apim-Subscription-Key: YOUR_API_KEY" "$polling_url")
  case $(field status "$status") in QUEUED | PROCESSING) sleep "${POLL_SECONDS:-5}" ;; *) break ;; esac
done
printf '%s\n' "$status"
[[ $(field status "$status") == COMPLETED ]] || exit 1
# The picture is somewhere else, and the key stays here.
curl -sS --fail --output "$1" "$(field media_url "$status")"
