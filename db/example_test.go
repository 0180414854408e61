package db_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"

	"chatfeed/db"
	"chatfeed/internal/embedded"
	"chatfeed/migrations"
)

// exampleDatabase returns the URL of a database with the schema, for the examples to use, and ends it.
func exampleDatabase(ctx context.Context) (url string, stop func()) {
	server, err := embedded.Start(ctx, embedded.Config{})
	if err != nil {
		log.Fatal(err)
	}
	conn, err := sql.Open("pgx", server.URL())
	if err != nil {
		log.Fatal(err)
	}
	if err := migrations.Up(ctx, conn); err != nil {
		log.Fatal(err)
	}
	_ = conn.Close()
	return server.URL(), func() { _ = server.Stop() }
}

// A business row and its chat rows become visible together, or not at all.
func ExampleAppend() {
	ctx := context.Background()
	url, stop := exampleDatabase(ctx)
	defer stop()
	pool, err := db.Open(ctx, url)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(ctx, `create table bookings (id text primary key, guest text)`); err != nil {
		log.Fatal(err)
	}

	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `insert into bookings values ('b_1', 'Ada')`); err != nil {
			return err
		}
		_, err := db.Append(ctx, tx,
			db.Message{WorkflowID: "wf_1", Message: "Your table is booked."},
			db.Progress{WorkflowID: "wf_1", Progress: 100, Status: "booked"})
		return err
	})
	if err != nil {
		log.Fatal(err)
	}

	rows, _ := pool.Query(ctx, `select type, body::jsonb->>'status' from chatfeed.items order by "_createdAt"`)
	var kind, status string
	_, err = pgx.ForEachRow(rows, []any{&kind, &status}, func() error {
		fmt.Printf("%s %q\n", kind, status)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// message ""
	// progress "booked"
}

// Without a transaction of the caller's, a Writer shares its commits among all concurrent callers.
func ExampleWriter() {
	ctx := context.Background()
	url, stop := exampleDatabase(ctx)
	defer stop()
	pool, err := db.Open(ctx, url)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	writer := db.NewWriter(pool)
	defer writer.Close()

	looking := db.Log{WorkflowID: "wf_1", ID: "log_1", Level: "info", Message: "Looking for a table."}
	fmt.Println(writer.Write(ctx, looking))
	fmt.Println(writer.Write(ctx, looking))
	fmt.Println(writer.Write(ctx, db.Progress{WorkflowID: "wf_1", Progress: 120}))
	// Output:
	// [{log_1 false}] <nil>
	// [{log_1 true}] <nil>
	// [] item 0: progress: is 120; accepted is a number from 0 to 100
}
