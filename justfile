# Recipes for chatfeed. Without just: npx -y rust-just RECIPE

sqlc := "go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1"
buf := "npx -y @bufbuild/buf@1.75.0"
workflowcheck := "go run go.temporal.io/sdk/contrib/tools/workflowcheck@v0.6.0"
lint := "go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0"

# show the recipes
default:
    @just --list --justfile {{ justfile() }}

# run the whole stack on this machine
dev *flags:
    go run ./cmd/dev {{ flags }}

# give the modules another path, such as example.com/team/chatfeed, under which they can be fetched
module path:
    go run ./cmd/dev/rename {{ path }}
    cd rpc && {{ buf }} generate
    go generate ./web/page

# install PostgreSQL with its client programs where they are missing: dump and restore are tested with them
[private]
postgresql:
    @command -v pg_dump > /dev/null || ls /usr/lib/postgresql/*/bin/pg_dump > /dev/null 2>&1 || \
        { test "$(id -u)" = 0 && apt-get update -q && apt-get install -qy postgresql; } || \
        { echo "pg_dump is missing: install PostgreSQL with its client programs (on Debian, the package postgresql)"; exit 1; }

# install PgBouncer where it is missing
[private]
pgbouncer:
    @command -v pgbouncer > /dev/null || test -x /usr/sbin/pgbouncer || \
        { test "$(id -u)" = 0 && apt-get update -q && apt-get install -qy pgbouncer; } || \
        { echo "pgbouncer is missing: install PgBouncer (on Debian, the package pgbouncer)"; exit 1; }

# install nginx where it is missing: streams are tested through it
[private]
nginx:
    @command -v nginx > /dev/null || test -x /usr/sbin/nginx || \
        { test "$(id -u)" = 0 && apt-get update -q && RUNLEVEL=1 apt-get install -qy nginx; } || \
        { echo "nginx is missing: install it (on Debian, the package nginx); it need not run as a service"; exit 1; }

# install the Durable Streams protocol's own client and conformance tests
[private]
durable:
    cd cmd/internal/durable/testdata/node && npm ci --silent --ignore-scripts

# run the Durable Streams protocol's conformance tests for servers, those for reading, and print the score
conformance: durable
    go test -count=1 -v -run TestTheServerPasses ./cmd/internal/durable

# install Python where it is missing: docs/python.md is tested with it
[private]
python:
    @command -v python3 > /dev/null || \
        { test "$(id -u)" = 0 && apt-get update -q && apt-get install -qy python3; } || \
        { echo "python3 is missing: install it (on Debian, the package python3)"; exit 1; }

# install the packages of Temporal for TypeScript: docs/typescript.md is tested with them
[private]
typescript:
    cd cmd/dev/e2e/testdata/typescript && npm ci --silent

# install Temporal's AI SDK integration, with which docs/workflow-streams.md is tested
[private]
streams:
    cd examples/streams && npm ci --silent --ignore-scripts

# install the client of AG-UI, with which docs/ag-ui.md is tested
[private]
agui:
    cd cmd/dev/e2e/testdata/agui && npm ci --silent

# install what the client for browsers is made and tested with, and compile it
[private]
client:
    cd web/client && npm ci --silent --ignore-scripts && npm run --silent build

# install the packages that the page is built of and tested with
[private]
page:
    cd web/page && npm ci --silent --ignore-scripts

# install Chromium where it is missing: the page is tested in it
[private]
chromium:
    @command -v chromium > /dev/null || \
        { test "$(id -u)" = 0 && apt-get update -q && apt-get install -qy --no-install-recommends chromium; } || \
        { echo "chromium is missing: install it (on Debian, the package chromium)"; exit 1; }

# run every test: the root module under the race detector; without it what measures memory, and the stack end to end
test: postgresql pgbouncer nginx python typescript streams durable agui client page chromium
    cd web/client && npm test
    go test -race -timeout 20m ./...
    go test -timeout 20m ./cmd/internal/program ./cmd/dev/... ./cmd/dev/temporal/...

# fail if generated code is stale, code is not formatted, or the linter finds something
check: generate lint
    git diff --exit-code -- db/internal rpc/chatfeedv1 web/client/src/gen web/page/dist
    test -z "$(git status --porcelain --untracked-files=all -- db/internal rpc/chatfeedv1 web/client/src/gen web/page/dist)"

# generate code from the SQL and the proto files, and the page from its source
generate:
    go generate ./web/page
    {{ sqlc }} generate
    cd rpc && {{ buf }} lint && {{ buf }} generate

# run the linter on all modules, and Temporal's on what runs in workflows
lint:
    {{ lint }} run ./... ./cmd/dev/... ./cmd/dev/temporal/...
    GOOS=darwin go vet ./internal/embedded
    {{ workflowcheck }} ./activities/progress ./activities/webhook

# format the code
format:
    {{ lint }} fmt

# measure every scenario against its baseline and write docs/benchmarks.md; takes half an hour
bench *scenarios:
    go run ./cmd/chatfeed bench --out docs {{ scenarios }}

# measure the ways to watch a workflow against each other and write docs/approaches.md; takes 15 minutes, and once some more to compile
bench-approaches *flags:
    go run ./cmd/dev/approaches --out docs {{ flags }}

# break everything that can break, for longer than the tests do, and audit what clients received
faults: nginx
    go test -count=1 -timeout 20m ./cmd/internal/faults -args -long
    go test -count=1 -timeout 20m -run TestEveryMessageIsAnswered ./cmd/dev/e2e -args -long

# break everything for a long time under 2,000 streams
soak duration="20m":
    go test -count=1 -timeout 2h -run TestSoak ./cmd/internal/faults -args -soak {{ duration }}
