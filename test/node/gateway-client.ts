/** Asks a gateway with no client library in between: the path goes out as it is. */
import http from 'node:http'
import type { Gateway } from '../../node/gateway/gateway.ts'

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: Buffer
}

export interface AskOptions {
  readonly method?: string
  readonly headers?: http.OutgoingHttpHeaders
  /** The address it is asked from. */
  readonly from?: string
}

export function askGateway(
  gateway: Pick<Gateway, 'address'>,
  path: string,
  { method = 'GET', headers = {}, from }: AskOptions = {},
): Promise<Answer> {
  const [host, port] = gateway.address().split(':')
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        host,
        port: Number(port),
        path,
        method,
        headers,
        agent: false,
        ...(from === undefined ? {} : { localAddress: from }),
      },
      (response) => {
        const pieces: Buffer[] = []
        response.on('data', (piece: Buffer) => pieces.push(piece))
        response.on('end', () =>
          resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(pieces) }),
        )
        response.on('error', reject)
      },
    )
    request.on('error', reject)
    request.end()
  })
}
