//go:build never

// What pages import stays in go.mod although no file of this package imports it.
package docs

import (
	_ "github.com/gin-gonic/gin"
	_ "github.com/go-chi/chi/v5"
	_ "github.com/gofiber/fiber/v3"
	_ "github.com/gorilla/mux"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/labstack/echo/v5"
	_ "github.com/midhook/midhook/echohook"
	_ "github.com/midhook/midhook/fiberhook"
	_ "github.com/midhook/midhook/ginhook"
	_ "github.com/midhook/midhook/otelhook"
	_ "github.com/midhook/midhook/redisstore"
	_ "github.com/midhook/midhook/sqlstore"
	_ "github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite"
)
