package embedded_test

import (
	"context"
	"fmt"
	"log"

	"github.com/jackc/pgx/v5"

	"chatfeed/internal/embedded"
)

func Example() {
	ctx := context.Background()
	server, err := embedded.Start(ctx, embedded.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = server.Stop() }()

	conn, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var database string
	if err := conn.QueryRow(ctx, "select current_database()").Scan(&database); err != nil {
		log.Fatal(err)
	}
	fmt.Println(database)
	// Output: chatfeed
}
