"""The custom resources as types, with their conditions, reasons and causes; crds/ is generated from here."""
