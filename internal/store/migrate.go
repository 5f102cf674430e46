package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

//go:embed migrations/*.sql
var embedded embed.FS

func queueMigrations() fs.FS {
	sub, err := fs.Sub(embedded, "migrations")
	if err != nil {
		panic(err) // a constant, valid path
	}
	return sub
}

// Migrate brings the tables of a room up to date. fsys holds the migrations as
// goose names them, 00001_name.sql and so on. What a newer collie wrote is
// refused.
func (s *Store) Migrate(ctx context.Context, room string, fsys fs.FS) error {
	return s.exclusive(ctx, func(*conn) error {
		db, err := sql.Open("sqlite", dsn(s.path(), "synchronous(FULL)"))
		if err != nil {
			return fmt.Errorf("migrate %s: %w", room, err)
		}
		db.SetMaxOpenConns(1)
		return errors.Join(s.migrate(ctx, db, room, fsys), db.Close())
	})
}

func (s *Store) migrate(ctx context.Context, db *sql.DB, room string, fsys fs.FS) error {
	versions, err := database.NewStore(database.DialectSQLite3, "collie_"+room+"_version")
	if err != nil {
		return fmt.Errorf("migrate %s: %w", room, err)
	}
	p, err := goose.NewProvider("", db, fsys, goose.WithStore(versions), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("migrate %s: %w", room, err)
	}
	have, known, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", room, wrap(err))
	}
	if have > known {
		return fmt.Errorf("data directory %s was written by a newer collie (version %d of %s, this one knows %d): start the newer collie, or give --storage.path another directory", s.o.Dir, have, room, known)
	}
	if have == known {
		return nil
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate %s from version %d to %d: %w", room, have, known, wrap(err))
	}
	s.o.Log.Debug("data migrated", "room", room, "from", have, "to", known)
	return nil
}
