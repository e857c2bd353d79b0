// Package postgres carries the log into a PostgreSQL database: every reading
// once, under its name (gateway, epoch, seq), with its gap, summary or event
// where there is none. It is the only room that knows PostgreSQL.
//
// What is in the database and what is not is decided by one transaction after
// another: records are taken in the order of the log, written, committed, and
// only then passed. After a crash of either side some come again; their names
// are there already, and nothing is written twice.
//
// The tables are those of the SQL files in migrations, in a schema
// "fieldgate" of their own. Programs read the views, whose names end in _v.
package postgres
