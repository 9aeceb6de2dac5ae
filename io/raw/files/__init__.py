"""Clicks kept in files beside the results: Arrow files in a folder, and an index of them that also knows which logs were read how far."""

from clickstream.io.raw.files.keep import KeepClicks, NotePiece, read_piece
from clickstream.io.raw.files.store import FileRawStore, FileRawStoreConnection
from clickstream.io.raw.files.tables import Piece

__all__ = ["FileRawStore", "FileRawStoreConnection", "KeepClicks", "NotePiece", "Piece", "read_piece"]
