"""The serving harness: redundancy policies, pools of model instances, stragglers, load, and the frontend between them.

``policies`` decides and does no I/O; ``pools`` runs models and decides nothing; the frontend connects them.
"""
