package program

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"connectrpc.com/connect"
)

// Client is the flag of the commands that call a server.
type Client struct {
	Server string `help:"Address of the server." default:"http://127.0.0.1:8080"`
}

func (c Client) check() error {
	server, err := url.Parse(c.Server)
	if err != nil || server.Host == "" || server.Scheme != "http" && server.Scheme != "https" {
		return usagef("--server: %q is not an address; accepted is a URL such as http://127.0.0.1:8080", c.Server)
	}
	return nil
}

func (c Client) http() *http.Client { return &http.Client{Transport: http.DefaultTransport} }

// explain turns an error of a call into one for the terminal.
func (c Client) explain(err error) error {
	var failed *connect.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &failed):
		return err
	case failed.Code() == connect.CodeInvalidArgument:
		return usageError{failed.Message()}
	case failed.Code() == connect.CodeUnimplemented:
		return fmt.Errorf("%s does not offer this: it runs without ChatService, or is not a chatfeed server", c.Server)
	}
	return fmt.Errorf("%s: %s", c.Server, failed.Message())
}
