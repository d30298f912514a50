"""`/health` answers everyone; there is nothing else to find."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import pytest
from django.test import AsyncClient, Client


@pytest.mark.parametrize("method", ["get", "head"])
def test_health_answers_without_a_login(method: str):
    response = getattr(Client(), method)("/health")
    assert response.status_code == HTTPStatus.OK
    assert response["Content-Type"] == "application/json"
    if method == "get":
        assert response.json() == {"status": "ok"}


def test_health_changes_nothing_so_it_takes_no_post():
    response = Client().post("/health")
    assert response.status_code == HTTPStatus.METHOD_NOT_ALLOWED


@pytest.mark.parametrize("address", ["/", "/admin/", "/healthy", "/static/x.css"])
def test_other_addresses_are_not_found(address: str):
    assert Client().get(address).status_code == HTTPStatus.NOT_FOUND


def test_a_host_nobody_named_is_refused():
    response = Client().get("/health", headers={"host": "evil.example"})
    assert response.status_code == HTTPStatus.BAD_REQUEST


def test_answers_carry_the_headers_that_close_a_browser():
    response = Client().get("/health")
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"


def test_the_asynchronous_application_answers_too():
    response = asyncio.run(AsyncClient().get("/health"))
    assert response.status_code == HTTPStatus.OK


def test_an_asgi_server_finds_the_application():
    from alpha_site.asgi import application

    assert callable(application)
