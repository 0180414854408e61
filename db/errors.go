package db

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// The errors that PostgreSQL can raise for a write, and what the Writer does:
//
//	SQLSTATE                  meaning                                        action
//	22, 23, 54001             the data itself is refused                     none: Refused
//	40001, 40P01              a conflict with another transaction            retry at once
//	55P03                     a lock timeout                                 the writes that need it wait separately
//	P0, 42, 0A and others     a trigger of the user's, a missing privilege   the group is halved, so that only the writes
//	                          or table, which may concern one type's rows    at fault fail; a retry may succeed
//	54000                     at commit: the NOTIFY queue is full            retry later
//	08, 25, 26, 28, 3D, 53,   the connection, the server or its resources,   retry later
//	57, 58, XX                a server that has become read-only
//
// Anything that is not Refused may succeed later, some of it only after an operator has intervened: see explain.

// Refused reports whether PostgreSQL has refused the data itself, so that a retry cannot succeed: SQLSTATE classes 22
// (data exception) and 23 (integrity constraint violation), and 54001 (too complex, such as JSON nested too deep).
// 54000 is not among them: commits fail with it while the NOTIFY queue is full.
func Refused(err error) bool {
	state := sqlState(err)
	return strings.HasPrefix(state, "22") || strings.HasPrefix(state, "23") || state == "54001"
}

// mayConcernOneRow reports whether an error may concern only some rows of a group. That includes 57014, because a
// statement_timeout may be too short for the whole group.
func mayConcernOneRow(err error) bool {
	switch state := sqlState(err); state {
	case "", "54000", "55P03":
		return false
	case "57014":
		return true
	default:
		return !slices.Contains([]string{"08", "25", "26", "28", "3D", "40", "53", "57", "58", "XX"}, state[:2])
	}
}

// conflict reports whether the transaction may succeed when it is retried: a serialization failure or a deadlock.
func conflict(err error) bool {
	state := sqlState(err)
	return state == "40001" || state == "40P01"
}

// locked returns the workflows that others had locked, if the error is a lock timeout.
func locked(err error) []string {
	var pg *pgconn.PgError
	var workflows []string
	if lockTimedOut(err) && errors.As(err, &pg) {
		_ = json.Unmarshal([]byte(pg.Detail), &workflows) // other triggers may raise it too, with another detail
	}
	return workflows
}

// lockTimedOut reports whether the error is a lock timeout, of any lock.
func lockTimedOut(err error) bool { return sqlState(err) == "55P03" }

// explain adds to an error what an operator can do about it, and turns a violation of our constraints into an error that
// names the field.
func explain(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch pg.Code {
	case "23514":
		if invalid := violated(pg.TableName, pg.ConstraintName); invalid != nil {
			return invalid
		}
	case "42501":
		return fmt.Errorf("the database role lacks a privilege; docs/operations.md has the grants that a writer needs: %w", err)
	case "42P01", "3F000", "42883", "42703":
		return fmt.Errorf("the database's schema is missing or older than this program; run chatfeed migrate up: %w", err)
	case "54000":
		return fmt.Errorf("PostgreSQL's NOTIFY queue is full, perhaps because a session that listens is idle in a transaction: %w", err)
	case "25006":
		return fmt.Errorf("the database is read-only, perhaps a standby: %w", err)
	}
	return err
}

// violated returns the error for a violated constraint of a table, or nil if it is not one of ours. PostgreSQL does not say
// which of several items it was.
func violated(table, constraint string) error {
	field, reason := "", ""
	var cause error
	switch constraint {
	case "metadata_length":
		field, reason = "metadata", "is too long in PostgreSQL's format, with all digits of each number; 131072 bytes are accepted"
	case "metadata_decodable":
		field, reason = "metadata", undecodable
	case "workflow_id_length":
		field, reason = "workflowId", fmt.Sprintf("1 to %d bytes are accepted", maxWorkflowID)
	case "workflow_open":
		field, reason = "workflowId", "is that of a workflow that is closed: a progress item of it is final, and nothing can follow"
		cause = ErrClosed
	case "item_id_length":
		field, reason = "id", fmt.Sprintf("1 to %d bytes are accepted", maxID)
	default:
		for _, k := range kinds {
			if k.table == table {
				return k.violated(constraint)
			}
		}
		return nil
	}
	return &InvalidItemError{Index: -1, Field: field, Reason: reason, cause: cause}
}

func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}
