"""Invoices and usage reports of providers, reconciled with the ledger."""
