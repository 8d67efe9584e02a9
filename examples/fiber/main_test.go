package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/log"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	"github.com/gofiber/fiber/v3/middleware/csrf"
	"github.com/gofiber/fiber/v3/middleware/recover"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/examples/internal/suite"
	"github.com/midhook/midhook/fiberhook"
)

func TestMain(m *testing.M) { suite.Main(m, main) }

func TestProgram(t *testing.T) { suite.Program(t) }

func TestTimeouts(t *testing.T) {
	config := routes(suite.Hook(t), newShop(ship)).Config()
	suite.RequireTimeouts(t, &http.Server{ReadTimeout: config.ReadTimeout, WriteTimeout: config.WriteTimeout, IdleTimeout: config.IdleTimeout})
}

// Rule: the example's own router and handler stand what happens to every merchant.
func TestScenarios(t *testing.T) {
	suite.Scenarios(t, func(hook *midhook.Middleware, ship suite.Ship) http.Handler {
		return adaptor.FiberApp(routes(hook, newShop(ship)))
	})
}

func TestSuite(t *testing.T) {
	log.SetOutput(io.Discard)
	suite.Run(t, suite.Framework{
		Serve:     listen,
		Buffers:   true,
		Recovered: fiber.StatusInternalServerError,
		Traps: map[suite.Around]int{
			suite.BodyLimit: fiber.StatusRequestEntityTooLarge,
			suite.CSRF:      fiber.StatusForbidden, // no token: exempt the route with its Next
			// No time limit: fiber's timeout middleware lets go of c while the
			// handler has it.
		},
		Slashes: map[string]int{
			"/notification/acme":  fiber.StatusCreated,
			"/notification/acme/": fiber.StatusCreated, // fiber's router is not strict
			"/Notification/acme":  fiber.StatusCreated, // and not case-sensitive
		},
	})
}

func listen(t *testing.T, l net.Listener, s suite.Setup) {
	config := fiber.Config{}
	switch s.Around {
	case suite.Nothing: // an error handler as many APIs have it
		config.ErrorHandler = func(c fiber.Ctx, err error) error {
			return c.Status(fiber.StatusOK).JSON(fiber.Map{"error": err.Error()})
		}
	case suite.BodyLimit:
		config.BodyLimit = suite.Limit
	case suite.RecoveryOutside:
		config.ErrorHandler = func(c fiber.Ctx, _ error) error { // fiber's own answers with the error's text
			return c.SendStatus(fiber.StatusInternalServerError)
		}
	}
	app := fiber.New(config)
	login := func(c fiber.Ctx) error { return c.Redirect().Status(fiber.StatusFound).To("/login") }
	var inside []any
	switch s.Around {
	case suite.RecoveryOutside:
		app.Use(recover.New())
	case suite.RecoveryInside:
		inside = append(inside, recover.New())
	case suite.LoginOutside:
		app.Use(login)
	case suite.LoginInside:
		inside = append(inside, login)
	case suite.CSRF:
		app.Use(csrf.New())
	}
	tenant := func(c fiber.Ctx) error {
		fiber.Locals(c, "tenant", c.Params("shop"))
		return c.Next()
	}
	inside = append(inside, notification(s.Shop))
	app.Post("/notification/:shop", tenant, append([]any{fiberhook.New(s.Hook)}, inside...)...)
	app.Post("/slow/:shop", tenant, append([]any{fiberhook.New(s.Slow)}, inside...)...)

	ended := make(chan error, 1)
	go func() { ended <- app.Listener(l, fiber.ListenConfig{DisableStartupMessage: true}) }()
	t.Cleanup(func() {
		require.NoError(t, app.Shutdown())
		require.NoError(t, <-ended)
	})
}

func notification(shop *suite.Shop) fiber.Handler {
	return func(c fiber.Ctx) error {
		n, _ := fiberhook.FromContext(c)
		var body struct {
			OrderID string `json:"order_id"`
		}
		if err := c.Bind().Body(&body); err != nil {
			return fiber.NewError(fiber.StatusTeapot, "secret")
		}
		do := shop.Arrived(n, body.OrderID)
		switch do {
		case suite.Late, suite.LatePanic, suite.LateFailure:
			for shop.Lingering() {
				shop.Saw(c.Params("shop"), fiber.Locals[string](c, "tenant"))
				_ = c.SendString("late")
				c.Set("Late", "yes")
			}
		}
		switch do {
		case suite.Fail:
			return c.SendStatus(fiber.StatusInternalServerError)
		case suite.Refuse:
			return c.Status(fiber.StatusConflict).JSON(fiber.Map{"refused": true})
		case suite.Error, suite.LateFailure:
			return errors.New("secret")
		case suite.NotFound:
			return fiber.NewError(fiber.StatusNotFound, "secret")
		case suite.Redirect:
			return c.Redirect().Status(fiber.StatusFound).To("/login")
		case suite.Panic, suite.LatePanic:
			panic("secret")
		}
		return c.Status(fiber.StatusCreated).JSON(fiber.Map{
			"order": n.OrderID, "shop": c.Params("shop"), "tenant": fiber.Locals[string](c, "tenant"),
		})
	}
}
