// Sends a file by tus-js-client: upload.js ENDPOINT FILE PROTOCOL CHUNK-BYTES. Prints where the upload is, and what the last answer said.
const fs = require('node:fs')
const tus = require(process.env.TUS_MODULES + '/tus-js-client')

const [endpoint, path, protocol, chunk] = process.argv.slice(2)
const upload = new tus.Upload(fs.createReadStream(path), {
  endpoint,
  protocol,
  chunkSize: Number(chunk),
  uploadSize: fs.statSync(path).size,
  retryDelays: [200, 500, 1000, 2000, 4000, 8000],
  metadata: { filename: 'clip.mp4', profile: 'poster' },
  headers: protocol === 'tus-v1' ? {} : { 'X-Profile': 'poster' },
  onError(error) {
    console.error(String(error))
    process.exit(1)
  },
  onSuccess({ lastResponse }) {
    console.log(upload.url, lastResponse.getHeader('X-Job'))
  },
})
upload.start()
