"""Recommend: sessions put together by hand, and what runs say comes next."""
