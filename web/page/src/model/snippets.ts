// What to type to read or write this workflow in another way.
export interface Snippet {
  name: string
  code: string
}

const quoted = (value: string) => `'${value.replaceAll("'", `'\\''`)}'`
const sql = (value: string) => `'${value.replaceAll("'", "''")}'`
const script = (value: string) => JSON.stringify(value)

export function psql(id: string): string {
  const insert = `insert into chatfeed.messages (workflow_id, role, message) values (${sql(id)}, 'psql', 'by hand')`
  return `psql "$DATABASE_URL" -c ${/["$`\\!]/.test(insert) ? quoted(insert) : `"${insert}"`}`
}

export function snippets(id: string, origin: string, cursor: number): Snippet[] {
  const events = `${origin}/workflows/${encodeURIComponent(id)}/events`
  const after = cursor ? `?after=${cursor}` : ''
  return [
    { name: 'curl', code: `curl -N ${quoted(events + after)}` },
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
  types: ['message', 'delta', 'tool', 'progress'],
})
const view = chat(feed)
view.subscribe(() => console.log(view.getSnapshot()))`,
    },
    {
      name: 'useChat',
      code: `import { useChat } from '@ai-sdk/react'
import { ChatfeedTransport } from '@chatfeed/client/ai'
import { useEffect } from 'react'

const transport = new ChatfeedTransport({ url: ${script(origin)} })

function Chat() {
  const chat = useChat({ id: ${script(id)}, transport })
  useEffect(() => transport.attach(chat), [])
  return chat.messages.map((m) => <p key={m.id}>
    {m.parts.map((p) => p.type === 'text' && p.text)}</p>)
}`,
    },
    {
      name: 'Go',
      code: `client := chatfeedv1connect.NewFeedServiceClient(
	http.DefaultClient, ${script(origin)})
stream, err := client.Subscribe(ctx, &v1.SubscribeRequest{
	Cursors: []*v1.Cursor{{WorkflowId: ${script(id)}}},
})
for err == nil && stream.Receive() {
	fmt.Println(stream.Msg())
}`,
    },
  ]
}
