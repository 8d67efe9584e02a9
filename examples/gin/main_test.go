package main

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/examples/internal/suite"
	"github.com/midhook/midhook/ginhook"
)

func TestMain(m *testing.M) { suite.Main(m, main) }

func TestProgram(t *testing.T) { suite.Program(t) }

func TestTimeouts(t *testing.T) { suite.RequireTimeouts(t, newServer("", nil)) }

// Rule: the example's own router and handler stand what happens to every merchant.
func TestScenarios(t *testing.T) {
	suite.Scenarios(t, func(hook *midhook.Middleware, ship suite.Ship) http.Handler { return routes(hook, newShop(ship)) })
}

func TestSuite(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	suite.Run(t, suite.Framework{
		Serve:     suite.HTTP(server),
		Recovered: http.StatusInternalServerError,
		Traps: map[suite.Around]int{
			suite.BodyLimit: http.StatusRequestEntityTooLarge,
			suite.Timeout:   http.StatusServiceUnavailable, // TimeoutHandler answers, and does not wait
			suite.CSRF:      http.StatusCreated,            // Midtrans is no browser, and CrossOriginProtection sees that
		},
		Slashes: map[string]int{
			"/notification/acme":  http.StatusCreated,
			"/notification/acme/": http.StatusTemporaryRedirect, // 307, gin's for a POST: Midtrans follows
		},
	})
}

func server(s suite.Setup) http.Handler {
	r := gin.New()
	r.Use(func(c *gin.Context) { c.Set("tenant", c.Param("shop")) })
	recovery := gin.RecoveryWithWriter(io.Discard)
	login := func(c *gin.Context) {
		c.Redirect(http.StatusFound, "/login")
		c.Abort()
	}
	var inside []gin.HandlerFunc
	switch s.Around {
	case suite.Nothing:
		r.Use(answersEverythingWith200)
	case suite.RecoveryOutside:
		r.Use(recovery)
	case suite.RecoveryInside:
		inside = append(inside, recovery)
	case suite.LoginOutside:
		r.Use(login)
	case suite.LoginInside:
		inside = append(inside, login)
	}
	inside = append(inside, notification(s.Shop))
	r.POST("/notification/:shop", append([]gin.HandlerFunc{ginhook.New(s.Hook)}, inside...)...)
	r.POST("/slow/:shop", append([]gin.HandlerFunc{ginhook.New(s.Slow)}, inside...)...)

	switch s.Around { // gin has none of these itself
	case suite.BodyLimit:
		return suite.LimitBody(r)
	case suite.Timeout:
		return http.TimeoutHandler(r, suite.TimeoutAfter, "too slow")
	case suite.CSRF:
		return http.NewCrossOriginProtection().Handler(r)
	}
	return r
}

// answersEverythingWith200 is an error handler as many APIs have it.
func answersEverythingWith200(c *gin.Context) {
	c.Next()
	if len(c.Errors) > 0 && !c.Writer.Written() {
		c.JSON(http.StatusOK, gin.H{"error": c.Errors.String()})
	}
}

func notification(shop *suite.Shop) gin.HandlerFunc {
	return func(c *gin.Context) {
		n, _ := ginhook.FromContext(c)
		var body struct {
			OrderID string `json:"order_id" binding:"required"`
		}
		if err := c.ShouldBindJSON(&body); err != nil {
			c.AbortWithStatus(http.StatusTeapot)
			return
		}
		do := shop.Arrived(n, body.OrderID)
		switch do {
		case suite.Late, suite.LatePanic, suite.LateFailure:
			for shop.Lingering() {
				shop.Saw(c.Param("shop"), c.GetString("tenant"))
				_, _ = c.Writer.WriteString("late")
				c.Writer.Header().Set("Late", "yes")
			}
		}
		switch do {
		case suite.Fail:
			c.AbortWithStatus(http.StatusInternalServerError)
		case suite.Refuse:
			c.AbortWithStatusJSON(http.StatusConflict, gin.H{"refused": true})
		case suite.Error, suite.LateFailure:
			_ = c.Error(errors.New("secret")) // and nothing else
		case suite.NotFound:
			_ = c.AbortWithError(http.StatusNotFound, errors.New("secret"))
		case suite.Redirect:
			c.Redirect(http.StatusFound, "/login")
		case suite.Panic, suite.LatePanic:
			panic("secret")
		default:
			c.JSON(http.StatusCreated, gin.H{
				"order": n.OrderID, "shop": c.Param("shop"), "tenant": c.GetString("tenant"),
			})
		}
	}
}
