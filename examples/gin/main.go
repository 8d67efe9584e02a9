// Command gin receives Midtrans' notifications with gin.
package main

import (
	"log"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/examples/internal/demo"
	"github.com/midhook/midhook/ginhook"
)

func main() { demo.Main(demo.HTTP(routes)) }

func routes(hook *midhook.Middleware) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.Logger(), gin.Recovery())
	r.POST(demo.Path, ginhook.New(hook), notified)
	return r
}

func notified(c *gin.Context) {
	n, _ := ginhook.FromContext(c)
	if n.Paid() {
		log.Printf("ship order %s", n.OrderID) // with n.IdempotencyKey() in a unique index
	}
	c.JSON(http.StatusOK, gin.H{"order": n.OrderID, "paid": n.Paid()})
}
