// The provider's JavaScript example, carried on to the finished picture: client.mjs OUTPUT
import { writeFile } from 'node:fs/promises';

// What the example prints is all that it gives away.
const print = console.log;
const accepted = new Promise((resolve) => {
  console.log = (answer) => { print(JSON.stringify(answer)); resolve(answer); };
  console.error = (...words) => { print(...words); resolve({}); };
});

// --- as on the provider's page ---
const url = 'https://gateway.pixazo.ai/gfpgan/v1/gfpgan/generate';
const headers = {
  'Content-Type': 'application/json',
  'Cache-Control': 'no-cache',
  'Ocp-Apim-Subscription-Key': 'YOUR_API_KEY'
};
const data = {
  img: 'https://pub-582b7213209642b9b995c96c95a30381.r2.dev/input_model.png'
};

fetch(url, {
  method: 'POST',
  headers: headers,
  body: JSON.stringify(data)
})
  .then(response => response.json())
  .then(data => console.log(data))
  .catch(error => console.error('Error:', error));
// --- end ---

const { polling_url } = await accepted;
if (!polling_url) process.exit(1);
const key = { 'Ocp-Apim-Subscription-Key': headers['Ocp-Apim-Subscription-Key'] };
const seconds = Number(process.env.POLL_SECONDS ?? 5);
let status;
for (;;) {
  const answer = await fetch(polling_url, { headers: key });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  status = await answer.json();
  if (status.status !== 'QUEUED' && status.status !== 'PROCESSING') break;
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
print(JSON.stringify(status));
if (status.status !== 'COMPLETED') process.exit(1);
// The picture is somewhere else, and the key stays here.
const picture = await fetch(status.output.media_url[0]);
if (!picture.ok) throw new Error(`HTTP ${picture.status}`);
if (picture.headers.get('content-type') !== status.output.media_type) throw new Error('another type');
await writeFile(process.argv[2], Buffer.from(await picture.arrayBuffer()));
