// What to type to read or write this workflow in another way.
export interface Snippet {
  name: string
  code: string
}

const quoted = (value: string) => `'${value.replaceAll("'", `'\\''`)}'`
const sql = (value: string) => `'${value.replaceAll("'", "''")}'`
const script = (value: string) => JSON.stringify(value)

// The path of this repository's Go module, which the build puts in.
declare const goModule: string

// psql inserts a row. Without the address of the database it is that of the shell's environment.
export function psql(id: string, database = ''): string {
  const insert = `insert into chatfeed.messages (workflow_id, role, message) values (${sql(id)}, 'psql', 'by hand')`
  const url = database ? quoted(database) : '"$DATABASE_URL"'
  return `psql ${url} -c ${/["$`\\!]/.test(insert) ? quoted(insert) : `"${insert}"`}`
}

// sending sends a message from the terminal.
export function sending(id: string, origin: string): string {
  const server = origin === 'http://127.0.0.1:8080' ? '' : ` --server ${quoted(origin)}`
  return `go run ./cmd/chatfeed send ${quoted(id)} "The quick brown fox jumps over the lazy dog."${server}`
}

// snippets follow a workflow, after the cursor where they can. Whoever is signed in has to put a token in.
export function snippets(id: string, origin: string, cursor: number, signedIn: boolean): Snippet[] {
  const events = `${origin}/workflows/${encodeURIComponent(id)}/events`
  const after = cursor ? `?after=${cursor.toFixed(6)}` : ''
  const header = signedIn ? '-H "Authorization: Bearer $TOKEN" ' : ''
  const token = signedIn ? `\n  token: () => 'your token',` : ''
  const all = [
    { name: 'curl', code: `curl -N ${header}${quoted(events + after)}` },
    {
      name: 'EventSource',
      code: `const feed = new EventSource(${script(events)})
feed.addEventListener('message', (e) => {
  console.log(JSON.parse(e.data).item)
})`,
    },
    {
      name: 'Client',
      code: `import { chat, follow } from '@chatfeed/client'

const feed = follow(${script(origin)}, {
  workflows: [${script(id)}],
  types: ['message', 'delta', 'tool', 'progress'],${token}
})
const view = chat(feed)
view.subscribe(() => console.log(view.getSnapshot().messages.at(-1)))`,
    },
    {
      name: 'useChat',
      code: `import { useChat } from '@ai-sdk/react'
import { ChatfeedTransport } from '@chatfeed/client/ai'
import { useEffect } from 'react'

const transport = new ChatfeedTransport({
  url: ${script(origin)},${token}
})

export function Chat() {
  const chat = useChat({ id: ${script(id)}, transport })
  useEffect(() => transport.attach(chat), [])
  return chat.messages.map((m) => <p key={m.id}>
    {m.parts.map((p) => p.type === 'text' && p.text)}</p>)
}`,
    },
    { name: 'Go', code: go(id, origin, signedIn) },
  ]
  return signedIn ? all.filter((s) => s.name !== 'EventSource') : all // which cannot send a header
}

function go(id: string, origin: string, signedIn: boolean): string {
  const own = signedIn ? '\n\t"os"\n\n\t"connectrpc.com/connect"\n' : '\n'
  const context = signedIn
    ? `ctx, call := connect.NewClientContext(context.Background())
	call.RequestHeader().Set("Authorization", "Bearer "+os.Getenv("TOKEN"))`
    : 'ctx := context.Background()'
  return `package main

import (
	"context"
	"fmt"
	"log"
	"net/http"${own}
	v1 "${goModule}/rpc/chatfeedv1"
	"${goModule}/rpc/chatfeedv1/chatfeedv1connect"
)

func main() {
	${context}
	client := chatfeedv1connect.NewFeedServiceClient(
		http.DefaultClient, ${script(origin)})
	stream, err := client.Subscribe(ctx, &v1.SubscribeRequest{
		Cursors: []*v1.Cursor{{WorkflowId: ${script(id)}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for stream.Receive() {
		for _, item := range stream.Msg().Items {
			fmt.Println(item)
		}
	}
	log.Fatal(stream.Err())
}`
}
